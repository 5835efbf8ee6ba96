from .settings import MetricsSettings


def start() -> None:
    """Begin at 0, in the file that the settings name."""
    settings = MetricsSettings.load()
    settings.store.write_text(f'{{"{settings.window}": 0}}\n', "utf-8")
