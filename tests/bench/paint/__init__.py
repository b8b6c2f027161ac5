"""A real JupyterLab in a real Chromium while a cell streams: what of it is on the page, and when."""
