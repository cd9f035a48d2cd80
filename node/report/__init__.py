"""What a screening says to the outside: structured report and heatmap images, and their identity."""
