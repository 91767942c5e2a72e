"""What answers over HTTP. It reads finished pages; it never touches a database."""
