"""The ledger: which budgets and limits a call is subject to, and what a store is asked to do for it."""
