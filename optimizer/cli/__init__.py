"""The Typer application, one module per command group."""
