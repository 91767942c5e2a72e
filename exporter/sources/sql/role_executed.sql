
declare
{declared}begin
{sound}{found}  return query execute {select}{using};
{errors}end
