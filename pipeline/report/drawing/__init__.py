"""Pictures: architectures as SVG and text, plots of the search and of the co-design."""
