"""What is agreed: pydantic models of everything that crosses a boundary."""
