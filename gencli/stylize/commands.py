from gencli.core.commands import art
app = art("x")
@app.command()
def sample() -> None: pass
