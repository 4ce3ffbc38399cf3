"""`make bench`: ratios measured in one run, each beside the peer or the limit it is measured against."""

from tests.benchmarks import startup, streaming

if __name__ == "__main__":
    streaming.report()
    startup.report()
