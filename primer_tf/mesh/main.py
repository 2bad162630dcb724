"""The command `primer-t5`: T5's `t5_mesh_transformer` without the import hook."""


def main() -> None:
    """Runs T5's command with the flags on the command line; see `primer-t5 --helpfull`."""
    import importlib.util
    import sys

    if importlib.util.find_spec("t5") is None:
        from primer_tf.installation import install_command

        sys.exit(f"T5 is not installed; run `{install_command('t5')}`.")
    from primer_tf.mesh import runtime

    runtime.install()
    from t5.models import mesh_transformer_main

    mesh_transformer_main.console_entry_point()


if __name__ == "__main__":
    main()
