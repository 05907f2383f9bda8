#!/bin/sh
# `make up` runs this before it starts containers: check that no other clone runs a stack with this name, and that the
# ports on the host are free. Docker itself tests the ports, because on Docker Desktop they are not those of this machine.
set -eu

config=$(docker compose config)
project=$(printf '%s\n' "$config" | sed -n 's/^name: *//p')
# The image of the first job, which `make up` has just built.
image=$(printf '%s\n' "$config" | awk '/^  [a-z-]+:$/ { service = $1 } service == "secrets:" && $1 == "image:" { print $2 }')
own="label=com.docker.compose.project=$project"

for folder in $(docker ps --filter "$own" --format '{{.Label "com.docker.compose.project.working_dir"}}' | tr ' ' '?' | sort -u); do
  folder=$(printf '%s' "$folder" | tr '?' ' ')
  if [ "$folder" != "$(pwd -P)" ] && [ "$folder" != "$PWD" ] && [ -e "$folder/docker-compose.yml" ]; then
    echo "Error: the clone in $folder has a stack with the name $project: set COMPOSE_PROJECT_NAME in .env, such as" \
      "COMPOSE_PROJECT_NAME=$project-2, for a separate stack, or run \`make down\` there." >&2
    exit 1
  fi
done

# Print each published port as ADDRESS PORT TARGET; the default address is 0.0.0.0.
published() {
  printf '%s\n' "$config" | awk '
    $1 == "-" && $2 == "mode:" { address = "0.0.0.0" }
    $1 == "host_ip:" { address = $2 }
    $1 == "target:" { target = $2 }
    $1 == "published:" { gsub(/"/, "", $2); print address, $2, target }'
}

# Print the variable that sets the host's port for a port in the container.
variable() {
  sed -n "s/.*\${\(SLIPWAY_[A-Z_]*PORT\):-[0-9]*}:$1\".*/\1/p" docker-compose.yml services/caddy/https.yml | head -n 1
}

# Print advice for a port that cannot be used.
choose() {
  name=$(variable "$2")
  other=$(($1 > 50000 ? $1 - 10000 : $1 + 10000))
  if [ -n "$name" ]; then echo "choose another with $name in .env, such as $name=$other"; else echo "choose another"; fi
}

# The host ports of this stack's containers. `docker ps` would merge neighbouring ports into ranges.
own_ports=""
for container in $(docker ps --quiet --filter "$own"); do
  own_ports="$own_ports $(docker inspect --format '{{range .NetworkSettings.Ports}}{{range .}}{{.HostPort}} {{end}}{{end}}' "$container")"
done
seen=" "
failed=0
while read -r address port target; do
  [ -n "$port" ] || continue
  case $seen in *" $port "*)
    echo "Error: port $port is set for two services: $(choose "$port" "$target")." >&2
    failed=1
    continue
  esac
  seen="$seen$port "
  case " $own_ports " in *" $port "*) continue ;; esac
  if ! message=$(docker run --rm --network bridge --publish "$address:$port:9" --entrypoint true "$image" 2>&1); then
    case $message in
      *"already in use"* | *"already allocated"* | *"not available"*) why="is in use" ;;
      *) why="cannot be used ($(printf '%s\n' "$message" | grep -v '^$' | head -n 1))" ;;
    esac
    echo "Error: port $port on $address $why: $(choose "$port" "$target")." >&2
    failed=1
  fi
done <<EOF
$(published)
EOF
if [ "$failed" = 1 ]; then
  echo "Nothing was started." >&2
  exit 1
fi
