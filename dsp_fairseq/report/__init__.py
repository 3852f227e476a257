"""What a checkpoint keeps, as text, as JSON and as a picture."""
