"""The widgets: each view is name.py (what to show) and name.js (how to draw it)."""
