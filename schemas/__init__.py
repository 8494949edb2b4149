"""The data model: what is written, by which step, and who reads it.

    Candidate      plan  -> build             plan/*.parquet
    LedgerRow      build -> audit, retry      ledger/*.parquet
    ArrowSample    build -> trainer, people   shards/*.arrow
    Commit         build -> seal, audit       commits/*.json, manifest.parquet
    PlanRecord, BuildRecord, DatasetRecord    plan.json, build.json, dataset.json
    CanaryResult   build -> seal, audit       canaries/*.parquet
    Certificate    seal -> certificate        in dataset.json
    Tombstone      decontaminate -> readers   tombstones/*.parquet, certificates/*.json
    Forecast       forecast -> report         forecast.json
    Report         report -> people           where asked to
    ProtectedImage, Canary, BackgroundImage   on the way into an evaluation index

`benchmarks` is the registry of evaluation sets, `outcome` the closed vocabulary that
a ledger uses, `merkle` the proof, `options` the flags.
"""
