"""What `python -m pipeline.plan` says: hardware, the dense part's size, estimates of a step, the page."""
