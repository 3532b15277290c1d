"""A trained run as a plain Hugging Face or PEFT folder, reloaded by a fresh process before it is handed over."""
