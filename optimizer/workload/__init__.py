"""What is to be trained: job, model, data, and the knowledge that picks a method."""
