"""What is exported: one module over plain tensors that a server loads with torch alone."""
