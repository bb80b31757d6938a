"""Times beside those of others, on the machine that runs them: the job, and a module for each subject."""
