"""What may get in and out: documents before they are stored, questions before they are answered, answers as written."""
