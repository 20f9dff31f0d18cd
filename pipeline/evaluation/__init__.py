"""An exported model judged on newer rows: the log read by the model's own rules, sums over groups of rows, the page."""
