"""The semantic cache's judgement: sets of question pairs, the fit of the verifier, and how both are measured."""
