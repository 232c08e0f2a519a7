"""A JupyterHub as an instance runs it; the tests say by environment which one (tests/it/support/hub.rs)."""
import os
import sys

name = os.environ["HUB_INSTANCE"]
folder = os.environ["HUB_FOLDER"]
venv = os.environ["HUB_VENV"]
public, inner, api = os.environ["HUB_PORTS"].split()

c = get_config()  # noqa: F821
c.JupyterHub.bind_url = f"http://127.0.0.1:{public}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{inner}"
c.JupyterHub.db_url = f"sqlite:///{folder}/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = f"{folder}/cookie_secret"
c.JupyterHub.log_level = "DEBUG"
c.ConfigurableHTTPProxy.command = [os.environ["HUB_PROXY"]]
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{api}"
c.ConfigurableHTTPProxy.pid_file = f"{folder}/proxy.pid"

if os.environ.get("HUB_SIGN_IN") == "redirect":
    sys.path.insert(0, os.path.dirname(os.path.abspath(os.environ["HUB_CONFIG"])))
    from redirecting_authenticator import RedirectingAuthenticator
    c.JupyterHub.authenticator_class = RedirectingAuthenticator
else:
    c.JupyterHub.authenticator_class = "dummy"
    c.DummyAuthenticator.password = os.environ["HUB_PASSWORD"]
c.Authenticator.allow_all = True

c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = folder + "/homes/{username}"
c.Spawner.cmd = [f"{venv}/bin/jupyterhub-singleuser"]
c.Spawner.args = ["--allow-root"]
c.Spawner.environment = {"POOLGATE_INSTANCE": name, "PATH": f"{venv}/bin:{os.environ['PATH']}"}
c.Spawner.start_timeout = 120
c.Spawner.http_timeout = 120

c.JupyterHub.services = [{"name": "poolgate", "api_token": os.environ["HUB_TOKEN"]}]
c.JupyterHub.load_roles = [{
    "name": "poolgate",
    "services": ["poolgate"],
    "scopes": ["list:users", "read:users:activity", "read:users:name", "read:servers", "tokens"],
}]

with open(f"{folder}/more.py") as more:
    exec(more.read())
