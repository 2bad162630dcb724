"""Feed-forward layers as experts, of which the router sends each token to one."""

from primer_tf.errors import UserError
from primer_tf.sublayers.activations import ACTIVATION, ACTIVATION_PARTS
from primer_tf.sublayers.gin_arguments import BackboneArgument, Only, Translated
from primer_tf.sublayers.mesh_layer import MeshLayer
from primer_tf.sublayers.registry import LayerCost, Sublayer, pick, register_sublayer

_MODULE = "mesh_tensorflow.transformer.moe"
_OPTIONS = (
    "intermediate_dim num_experts activation gated capacity_factor eval_capacity_factor "
    "min_expert_capacity group_size router_jitter load_balance_loss router_z_loss "
    "initializer_scale"
)


def _layer(arguments):
    from primer_tf.layers.switch_feed_forward import SwitchFeedForward

    return SwitchFeedForward, pick(arguments, *_OPTIONS.split())


def _cost(arguments):
    channels, width = arguments["hidden_dim"], arguments["intermediate_dim"]
    experts, gated = arguments["num_experts"], arguments["gated"]
    expert = (3 if gated else 2) * channels * width
    router = channels * experts
    # Inputs and outputs of the experts are copies, for as many tokens as they have room for.
    copies = round(arguments["capacity_factor"] * ((4 if gated else 2) * width + 2 * channels))
    return LayerCost(
        parameters=experts * expert + router,
        flops=2 * (expert + router),
        activations=3 * experts + copies,
        inactive=(experts - 1) * expert,
    )


def _variables(arguments):
    kernels = {"intermediate": "wi"}
    if arguments["gated"]:
        kernels = {"intermediate": "wi_0", "linear": "wi_1"}
    names = {f"{k}_kernel": f"{m}/kernel" for k, m in {**kernels, "output": "wo"}.items()}
    return {"router_kernel": "switch_gating/kernel", **names}


def _read_jitter(jitter, value_of):
    # Out of training there is no jitter, whatever the policy.
    jitters = value_of("switch_policy_train") == "input_jitter"
    return {"router_jitter": jitter if jitters else 0.0}


def _read_z_loss(z_loss, value_of):
    # Mesh TensorFlow multiplies the sum of both losses by the factor of the first.
    return {"router_z_loss": (z_loss or 0.0) * value_of("loss_coef")}


def _write_z_loss(arguments):
    z_loss, balance = arguments["router_z_loss"], arguments["load_balance_loss"]
    if not z_loss:
        return None
    if not balance:
        raise UserError(
            f"Mesh TensorFlow has no router_z_loss ({z_loss}) without a load_balance_loss; set "
            "both, or neither."
        )
    return z_loss / balance


register_sublayer(
    Sublayer(
        name="switch_feed_forward",
        layer=_layer,
        cost=_cost,
        axes={
            "router_kernel": ("hidden", None),
            "(intermediate|linear)_kernel": ("experts", "hidden", "mlp"),
            "output_kernel": ("experts", "mlp", "hidden"),
        },
        mesh=(
            MeshLayer(
                configurable=f"{_MODULE}.MoE1D",
                module=_MODULE,
                arguments={
                    "num_experts": BackboneArgument("num_experts", 16),
                    "hidden_size": BackboneArgument("intermediate_dim", 4096),
                    "dropout_rate": BackboneArgument("dropout", 0.0),
                    "activation": ACTIVATION,
                    "loss_coef": BackboneArgument("load_balance_loss", 1e-2),
                    "z_loss": Translated(None, _read_z_loss, _write_z_loss),
                    "group_size": BackboneArgument("group_size", 1024),
                    "capacity_factor_train": BackboneArgument("capacity_factor", 1.25),
                    "capacity_factor_eval": BackboneArgument("eval_capacity_factor", 2.0),
                    "min_expert_capacity": BackboneArgument("min_expert_capacity", 4),
                    "moe_gating": Only("switch", default="top_2"),
                    "switch_policy_train": Only("input_jitter", "argmax"),
                    "switch_policy_eval": Only("input_jitter", "argmax"),
                    "switch_jitter": Translated(1e-2, _read_jitter, lambda a: a["router_jitter"]),
                    "switch_temperature": Only(1.0),
                    "output_dim": Only(None),
                    "use_experts_attention": Only(False),
                    "word_embed_mode": Only(None),
                    # Of the other ways to choose experts.
                    "switch_dropout": 0.1,
                    "ntlb_top_k": 4,
                    "top_n_num_experts_per_token": 3,
                    "use_second_place_loss": False,
                    "second_policy_train": "random",
                    "second_policy_eval": "random",
                    "second_threshold_train": 0.2,
                    "second_threshold_eval": 0.2,
                    "use_second_place_expert_prob": None,
                    "use_second_place_expert_prob_temp": None,
                },
                variables=_variables,
                parts=ACTIVATION_PARTS,
            ),
        ),
    )
)
