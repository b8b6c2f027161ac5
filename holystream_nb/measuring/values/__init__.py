"""What is measured and what came of it, as values and as a file: plan, schedule, records, journal, run."""
