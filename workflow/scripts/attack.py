"""Attack one pool: can those who see it tell which images it was made from?"""

from radsynth.common.job import job

with job(snakemake):
    from radsynth.common.files import write_json
    from radsynth.learning.candidates import WITHHELD
    from radsynth.privacy.attacking import Attacked, attack_pool

    given, params = snakemake.input, snakemake.params
    withholding = given.get("withholding")
    attacked = Attacked(
        given.pool_manifest,
        given.data_manifest,
        given.train,
        given.tests,
        f"{withholding}/{WITHHELD}" if withholding else None,
        params.family,
        next(iter(given.get("model", [])), None),
        given.get("real_features"),
        given.get("pool_features"),
    )
    write_json(snakemake.output.json, attack_pool(params.entry, attacked, label=params.label, seed=params.seed))
