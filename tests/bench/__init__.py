"""How fast the bot is, each figure beside what this machine gives a bare endpoint in the same run: `make bench`."""
