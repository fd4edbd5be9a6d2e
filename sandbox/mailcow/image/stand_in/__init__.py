"""The services of the stand-in's image: Debian's mail services and a stand-in of mailcow's API."""
