"""What the one image of the stand-in runs as: mail services of Debian, and a double of mailcow's API."""
