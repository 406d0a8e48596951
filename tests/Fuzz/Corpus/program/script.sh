#! /bin/none -u
exit
