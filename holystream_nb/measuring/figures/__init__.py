"""What follows from a run's records: tables, percentiles with intervals, comparisons, sentences. No I/O, no drawing."""
