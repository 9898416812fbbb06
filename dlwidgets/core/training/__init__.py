"""The loop, the thread that it runs in, and what is written down of it."""
