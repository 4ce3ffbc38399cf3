"""One logical request, from the first committed row to the last: attempts, retries, stop, cost, records.

Chat, comparison and evaluation all ask through here, so a request is durable, priced and stoppable in
the same way whoever sends it.
"""
