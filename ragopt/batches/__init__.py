"""Questions that can wait, answered through the providers' batch APIs at half the price.

prepare → plan → hold → submit → poll → collect, and live what the batches leave undone. Every step is written down
before and after it is made, so that any process can go on where another one ended.
"""
