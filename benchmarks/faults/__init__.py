"""Faults that are provoked in real processes and files, and what must hold: `python -m benchmarks.faults` runs all figures."""

ORDER = ("kills_full", "kills_frozen", "kills_phases", "kills_lora", "kills_prefix", "positions", "damage", "disk", "signals", "memory",
         "non_finite", "long_run", "locks", "resume_fields", "golden", "hostile_words", "hostile_schedules", "hostile_data",
         "hostile_configs", "hostile_models", "hostile_images", "hostile_names", "payloads", "canaries")  # fmt: skip
"""Records, in the order of the table."""
