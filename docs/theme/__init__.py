"""The site's design, and what it adds to the pages."""
