"""`cocoop serve`: learned prompts behind a page and a JSON API, for a browser on this machine."""
