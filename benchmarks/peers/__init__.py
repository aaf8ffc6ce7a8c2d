"""What others would write instead of `blurr run`, for `benchmarks.jobs`: a script each, to its scores and its model."""
