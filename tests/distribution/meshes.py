"""What the test of meshes and the process that it starts both need."""

ARCHITECTURES = ("transformer", "primer", "switch")
QUICK = ("none", "data:2,model:2")
SLOW = ("data:4", "model:2", "fsdp:4", "fsdp:2,model:2")
STEPS = 5
# Three, which neither two nor four devices divide.
PROMPTS = ["And God said", "In the beginning God", "Let there be"]

# A mesh of all devices, arguments of a backbone, and how the error starts.
ERRORS = (
    (
        "data:8",
        {},
        "The mesh data:8,model:1 has 8 devices, and there are 4 (cpu); for virtual ones on a CPU "
        "set XLA_FLAGS=--xla_force_host_platform_device_count=8",
    ),
    ("data:1,model:2", {}, "The mesh data:1,model:2 has 2 devices, and there are 4 (cpu)"),
    (
        "model:4",
        {"num_heads": 2},
        "The mesh's model:4 does not divide the 2 attention heads of "
        "decoder/position_bias_2_heads/embeddings; choose a size that does.",
    ),
    ("model:4", {"vocabulary_size": 322}, "The mesh's model:4 does not divide the 322 rows"),
    ("model:4", {"intermediate_dim": 30}, "The mesh's model:4 does not divide the 30 channels of"),
    (
        "model:4",
        {"block": ("attention", "switch_feed_forward"), "num_experts": 6},
        "The mesh's model:4 does not divide the 6 experts of",
    ),
    ("fsdp:4", {"hidden_dim": 30}, "The mesh's fsdp:4 does not divide the 30 hidden channels of"),
    ("fsdp:2,model:2", {}, ""),
)
