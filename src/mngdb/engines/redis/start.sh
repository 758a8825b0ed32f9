log="$2/$3"; rdb="$2/$5"; mark="$2/.log-was-switched-off"; newer= again=
if [ "$6" = yes ] && [ -e "$mark" ]; then
  for file in "$log"/*.base.*; do
    [ "$file" -nt "$mark" ] && ! [ "$file" -nt "$log/$4.manifest" ] && again=1
  done
  if [ "$rdb" -nt "$mark" ] && [ -e "$log" ] && [ -z "$again" ]; then
    mv "$log" "$log.off.$$" || exit
  fi
  rm "$mark" || exit
fi
[ -e "$rdb" ] || newer=1
for file in "$log"/*; do [ "$file" -nt "$rdb" ] && newer=1; done
if [ "$6" = yes ] && [ ! -e "$log/$4.manifest" ] && [ -e "$rdb" ]; then
  exec "$0" "$1" --appendonly no
elif [ "$6" = no ] && [ -e "$log/$4.manifest" ]; then
  [ -n "$newer" ] && : >"$mark" && exec "$0" "$1" --appendonly yes --READING
  mv "$log" "$log.off.$$" || exit
  rm -f "$mark"
elif [ "$6" = none ] && [ -e "$2/RESTORED" ]; then
  rm "$2/RESTORED" || exit
  exec "$0" "$1" --appendonly yes --READING
fi
exec "$0" "$1"
