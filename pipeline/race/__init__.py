"""The race: contenders trained from scratch against one another on growing shares of rows, recipes and all."""
