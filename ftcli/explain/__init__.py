"""`ftcli explain`: the whole plan on paper."""
