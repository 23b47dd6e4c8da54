"""The use cases, with store, clock and tables plugged in: what the API and the command line call."""
