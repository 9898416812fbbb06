"""The widgets: a folder for each view, with view.py, view.js and view.css."""
