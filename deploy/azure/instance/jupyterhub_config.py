"""JupyterHub of an instance: people are the machine's, by PAM; servers run as them. Its state, and every SQLite file of the
servers it starts, stay on the machine's own disk: locks do not hold on a shared drive. Its settings come from the service's
unit, which setup.sh writes."""
import asyncio
import os
import socket

c = get_config()  # noqa: F821
state = "/var/lib/poolgate-jupyterhub"

gates = os.environ["POOLGATE_GATES"].split(",")
family = socket.AF_INET6 if ":" in gates[0] else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as towards_gate:
    towards_gate.connect((gates[0], 9))
    own = towards_gate.getsockname()[0]
# The address that the gate reaches, and no other. For all addresses the hub would look up this machine's name.
c.JupyterHub.bind_url = f"http://[{own}]:8000" if ":" in own else f"http://{own}:8000"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:8081"
c.JupyterHub.db_url = f"sqlite:///{state}/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = f"{state}/cookie_secret"
c.ConfigurableHTTPProxy.command = [os.environ["POOLGATE_JUPYTER_PROXY"]]
c.ConfigurableHTTPProxy.pid_file = f"{state}/proxy.pid"
# People's addresses are taken from the gate and from nobody else.
c.JupyterHub.trusted_downstream_ips = gates
# A hub that restarts leaves people's servers running.
c.JupyterHub.cleanup_servers = False

c.JupyterHub.authenticator_class = "pam"
if os.environ.get("POOLGATE_GROUP"):
    c.LocalAuthenticator.allowed_groups = {os.environ["POOLGATE_GROUP"]}
else:
    c.Authenticator.allow_all = True

c.JupyterHub.spawner_class = "localprocess"
# JupyterHub's own folder of programs is the one its interpreter is in.
c.Spawner.cmd = [os.path.join(os.environ["POOLGATE_JUPYTERHUB"], "jupyterhub-singleuser")]
c.Spawner.default_url = "/lab"
c.Spawner.start_timeout = 120
c.Spawner.http_timeout = 120
idle_s = os.environ["POOLGATE_IDLE_SECONDS"]
c.Spawner.args = [
    # Kernels that nobody looks at and that compute nothing end, then the server without any.
    f"--MappingKernelManager.cull_idle_timeout={idle_s}",
    "--MappingKernelManager.cull_interval=300",
    f"--ServerApp.shutdown_no_activity_timeout={idle_s}",
]
c.Spawner.environment = {
    "PATH": f"{os.environ['POOLGATE_JUPYTERHUB']}:/usr/local/bin:/usr/bin:/bin",
}


async def at_login(spawner):
    """The person's folders, as at a login by ssh; and what their server keeps on this machine's own disk."""
    local = f"/var/lib/poolgate-people/{spawner.user.name}"
    spawner.args = [*c.Spawner.args, f"--NotebookNotary.db_file={local}/nbsignatures.db"]
    spawner.environment = {**c.Spawner.environment, "JUPYTER_RUNTIME_DIR": f"{local}/runtime"}
    environment = {"PAM_USER": spawner.user.name, "PAM_TYPE": "open_session", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    process = await asyncio.create_subprocess_exec("/opt/poolgate/setup/at-login.sh", env=environment)
    await asyncio.wait_for(process.wait(), 60)


c.Spawner.pre_spawn_hook = at_login

with open("/etc/poolgate/hub.token") as file:
    token = file.read().strip()
# What the gate may ask; see docs/jupyterhub.md.
c.JupyterHub.services = [{"name": "poolgate", "api_token": token}]
c.JupyterHub.load_roles = [{
    "name": "poolgate",
    "services": ["poolgate"],
    "scopes": ["list:users", "read:users:name", "read:users:activity", "read:servers", "tokens"],
}]
