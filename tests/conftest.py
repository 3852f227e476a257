from hypothesis import settings

# a shared machine stalls now and then: no test may fail for its speed
settings.register_profile("dsp_fairseq", deadline=None)
settings.load_profile("dsp_fairseq")
