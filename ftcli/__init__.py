"""ftcli: fine-tune a pretrained transformer the disciplined way, from the command line."""

__version__ = "0.1.0"
