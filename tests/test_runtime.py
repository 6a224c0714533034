import time
def test_x(tiny_settings):
    from recbole_mpo.quick_start import run, Experiment
    for i in range(3):
        b=time.perf_counter(); r=run("MPORec","tiny",(),tiny_settings); print(i, time.perf_counter()-b)
    print(r.keys()); print(r["data"], r["valid"], r["params"])
    b=time.perf_counter(); e=Experiment.of("MPORec","tiny",(),tiny_settings); e.model; print(time.perf_counter()-b)
    b=time.perf_counter(); r=run("MPORec","tiny",(),tiny_settings, dry_run=True); print(time.perf_counter()-b)
