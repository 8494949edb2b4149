"""The data model: what is written, by which step, and who reads it.

    Candidate      plan  -> build             plan/*.parquet
    LedgerRow      build -> audit, retry      ledger/*.parquet
    Commit         build -> seal, audit       commits/*.json, manifest.parquet
    PlanRecord, BuildRecord, DatasetRecord    plan.json, build.json, dataset.json

`benchmarks` is the registry of evaluation sets, `outcome` the closed vocabulary that
a ledger uses, `merkle` the proof, `options` the flags.
"""
