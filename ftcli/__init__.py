"""ftcli: fine-tune a pretrained transformer the disciplined way, from the command line."""

__version__ = "0.2.0"
